-- Removes what has expired and nobody asks for. ARGV: Respite, bus, then methods that cache. Gives: 1 when there is more.
local more = 0
for i = 3, #ARGV do
  local e = P .. 'e:' .. ARGV[i]
  local keys = call('ZRANGEBYSCORE', e, '-inf', now, 'LIMIT', 0, 500)
  if #keys > 0 then
    call('HDEL', P .. 'c:' .. ARGV[i], unpack(keys))
    call('ZREM', e, unpack(keys))
  end
  if #keys == 500 then more = 1 end
end
local workers = call('ZRANGEBYSCORE', P .. 'w', '-inf', now, 'LIMIT', 0, 500)
if #workers > 0 then
  call('HDEL', P .. 'p', unpack(workers))
  call('ZREM', P .. 'w', unpack(workers))
end
if #workers == 500 then more = 1 end
call('ZREMRANGEBYSCORE', P .. 'i', '-inf', now)
call('ZREMRANGEBYSCORE', P .. 'x', '-inf', now)
local said = call('HGETALL', P .. 'l')
for i = 1, #said, 2 do
  if tonumber(match(said[i + 1], '^%d+')) <= now then call('HDEL', P .. 'l', said[i]) end
end
return more
