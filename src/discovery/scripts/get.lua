-- ARGV: 5 service
-- Replies OK epoch rev registration (or nil).
sweep()
commit()
if redis.call('HSTRLEN', S, ARGV[5]) > MOST_RECORD then return too_long(S, MOST_RECORD) end
local e, r = index()
return {'OK', e, r, redis.call('HGET', S, ARGV[5])}
