-- ARGV: 5 service, 6 node, 7 lease or ""
-- Replies LEASEMISMATCH, or OK 0|1.
sweep()
local member = ARGV[5] .. '\1' .. ARGV[6]
local record = look(member)
if record and ARGV[7] ~= '' and parse(record) ~= ARGV[7] then
  commit()
  return {'LEASEMISMATCH'}
end
if record then forget(member) end
commit()
return {'OK', record and 1 or 0}
