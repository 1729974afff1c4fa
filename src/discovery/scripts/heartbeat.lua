-- ARGV: 5 service, 6 node, 7 lease, 8 state or ""
-- Replies NOLEASE, LEASEMISMATCH, or OK ttl (-1: none) unlisted rev.
sweep()
local member = ARGV[5] .. '\1' .. ARGV[6]
local record, _, live = look(member)
if not live then
  commit()
  return {'NOLEASE'}
end
local lease, ttl, keep, state = parse(record)
if lease ~= ARGV[7] then
  commit()
  return {'LEASEMISMATCH'}
end
if ARGV[8] ~= '' and ARGV[8] ~= state then
  local payload = string.match(record, '^%S+ %d+ %d+ %a+ (.*)$')
  redis.call('HSET', N, member,
    lease .. ' ' .. text(ttl) .. ' ' .. text(keep) .. ' ' .. ARGV[8] .. ' ' .. payload)
  touched[ARGV[5]] = true
end
if ttl > 0 then redis.call('ZADD', L, text(now + ttl), member) end
commit()
return {'OK', ttl > 0 and ttl or -1, unlisted(), text(rev)}
