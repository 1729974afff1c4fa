-- ARGV: Respite, bus, method, options, the most methods of a bus. Gives: generation, whether the registry has just
-- changed, and whom it is leased to then.
-- Other options start a new generation: what was cached for the old one is gone.
local method, given, most = ARGV[3], ARGV[4], tonumber(ARGV[5])
local before = call('HGET', P .. 'm', method)
local stamp = call('HGET', P .. 'g', method)
local leased = holders()
if before == given and stamp then
  local fresh = is_fresh()
  return { tonumber(string.match(stamp, '^%d+')), fresh and 1 or 0, fresh and leased or {} }
end
if not before and call('HLEN', P .. 'm') >= most then return { -1, 0, {} } end
local generation = stamp and tonumber(string.match(stamp, '^%d+')) + 1 or 1
local at = string.format('%.0f', now_us)
call('HSET', P .. 'm', method, given)
call('HSET', P .. 'g', method, generation .. ':' .. at, '', at)
call('UNLINK', P .. 'c:' .. method, P .. 'e:' .. method, P .. 'f:' .. method)
return { generation, 1, leased }
