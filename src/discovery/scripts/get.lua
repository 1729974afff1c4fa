-- ARGV: 5 service
-- Replies OK epoch rev registration (or nil).
sweep()
commit()
local e, r = index()
return {'OK', e, r, redis.call('HGET', S, ARGV[5])}
