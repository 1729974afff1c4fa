-- Takes a group off the list of groups (KEYS[1]), unless it was entered again meanwhile.
-- ARGV[1] group, ARGV[2] the entry that was seen
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
return 0
