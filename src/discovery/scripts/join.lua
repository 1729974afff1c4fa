-- ARGV: 5 service, 6 node, 7 lease, 8 ttl (0: none), 9 keep, 10 "NX" or "", 11 payload,
--       12 most nodes of a service, 13 most nodes of the group
-- Replies EXISTS, FULL, or OK epoch rev created unlisted.
sweep()
local service = ARGV[5]
local member = service .. '\1' .. ARGV[6]
local record, _, live = look(member)
if live and ARGV[10] == 'NX' then
  commit()
  return {'EXISTS'}
end
if not record
  and (redis.call('ZLEXCOUNT', I, first_of(service), after_last_of(service)) >= tonumber(ARGV[12])
    or redis.call('ZCARD', I) >= tonumber(ARGV[13])) then
  commit()
  return {'FULL'}
end
local state = 'passing'
if live then _, _, _, state = parse(record) end
local new = ARGV[7] .. ' ' .. ARGV[8] .. ' ' .. ARGV[9] .. ' ' .. state .. ' ' .. ARGV[11]
if not live or string.match(record, '^%S+ %d+ %d+ (.*)$') ~= state .. ' ' .. ARGV[11] then
  touched[service] = true
end
redis.call('HSET', N, member, new)
redis.call('ZADD', I, 0, member)
redis.call('ZREM', K, member)
if tonumber(ARGV[8]) > 0 then
  redis.call('ZADD', L, text(now + tonumber(ARGV[8])), member)
else
  redis.call('ZREM', L, member)
end
commit()
local e, r = index()
return {'OK', e, r, live and 0 or 1, unlisted()}
