-- ARGV: Respite, bus, id. Gives: 1 when the call was put back, and the methods with queued calls.
-- Nobody waits for it any more: its result is kept like that of a cast.
local c = load(ARGV[3])
if not c or c.s ~= 'x' or not c.meta or call('HEXISTS', P .. 'm', c.m) == 0 then return { 0, {} } end
-- The id might name another method than the call's.
if call('ZREM', P .. 'd:' .. c.m, c.id) == 0 then return { 0, {} } end
local k = P .. 'k:' .. c.number
call('DEL', P .. 'r:' .. c.number)
c.d = now + c.timeout
c.meta = string.gsub(c.meta, '^(%d+ %S+ %d+ %d+ %d+ %d+ %d %d+) .*$', '%1 1 -')
call('HSET', k, 'd', c.d, 'z', '1', 'm', c.meta)
call('HDEL', k, 'j', 'fc', 'fm')
call('PEXPIRE', k, c.timeout + GRACE)
call('SADD', P .. 'v:' .. c.m, c.id)
lease(P .. 'v:' .. c.m, c.timeout + GRACE)
again(c, 0)
close()
return { 1, queued_list() }
