-- Enters a group into the list of groups (KEYS[1], a sorted set by the time of the entry).
-- ARGV[1] group
if redis.replicate_commands then redis.replicate_commands() end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], string.format('%.0f', time[1] * 1000000 + time[2]), ARGV[1])
return 1
