-- The place of the newest event of a group (KEYS[1]), for who cannot read the events themselves; nothing if there is none.
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
return newest and newest[1]
