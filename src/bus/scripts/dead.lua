-- ARGV: Respite, bus, method, how many at most. Gives: the dead calls, the newest first.
local found = {}
for _, id in ipairs(call('ZREVRANGE', P .. 'd:' .. ARGV[3], 0, tonumber(ARGV[4]) - 1)) do
  local v = call('HMGET', P .. 'k:' .. match(id, '^[^.]+'), 'a', 'fc', 'fm', 'n')
  if v[1] and v[4] then
    found[#found + 1] = { id, v[1], v[2], v[3], tonumber(v[4]) }
  end
end
return found
