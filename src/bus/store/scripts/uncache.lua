-- ARGV: Respite, bus, method, 'all' or 'one', key. Gives: cached results removed.
-- A call under way is not cached either: it may have begun before what the caller knows of.
local c, e, f = P .. 'c:' .. ARGV[3], P .. 'e:' .. ARGV[3], P .. 'f:' .. ARGV[3]
if ARGV[4] == 'one' then
  local till = call('ZSCORE', e, ARGV[5])
  call('ZREM', e, ARGV[5])
  call('HDEL', f, ARGV[5])
  return call('HDEL', c, ARGV[5]) == 1 and till and tonumber(till) > now and 1 or 0
end
local count = call('ZCOUNT', e, '(' .. now, '+inf')
call('UNLINK', c, e, f)
return count
