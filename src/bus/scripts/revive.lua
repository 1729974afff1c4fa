-- ARGV: Respite, bus, id. Gives: 1 when the call was put back, and the methods with queued calls.
-- Nobody waits for it any more: its result is kept like that of a cast.
local id = ARGV[3]
local c = load(id)
if not c or c.s ~= 'x' or call('HEXISTS', P .. 'm', c.m) == 0 then return { 0, {} } end
local _, _, _, _, _, timeout = options(c)
local deadline = now + timeout
local x = enqueue(id, c.m, deadline)
local k = P .. 'k:' .. id
call('HSET', k, 's', 'q', 'd', deadline, 'b', string.format('%.0f', now_us), 'h', '', 'z', '1', 'x', x, 'n', 0, 't', '')
call('HDEL', k, 'y', 'j', 'v', 'fc', 'fm')
call('PEXPIRE', k, timeout + GRACE)
call('ZREM', P .. 'd:' .. c.m, id)
look_again(id, deadline)
close()
return { 1, queued_list() }
