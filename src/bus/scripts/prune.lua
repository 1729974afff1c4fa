-- Removes what has expired and nobody asks for. ARGV: Respite, bus, then methods that cache.
for i = 3, #ARGV do
  local e = P .. 'e:' .. ARGV[i]
  local keys = call('ZRANGEBYSCORE', e, '-inf', now, 'LIMIT', 0, 500)
  if #keys > 0 then
    call('HDEL', P .. 'c:' .. ARGV[i], unpack(keys))
    call('ZREM', e, unpack(keys))
  end
end
local workers = call('ZRANGEBYSCORE', P .. 'w', '-inf', now, 'LIMIT', 0, 500)
if #workers > 0 then
  call('HDEL', P .. 'p', unpack(workers))
  call('ZREM', P .. 'w', unpack(workers))
end
call('ZREMRANGEBYSCORE', P .. 'i', '-inf', now)
return 0
