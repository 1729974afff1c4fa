-- ARGV: 5 revision
-- Notes that the group is in the list of groups, unless it was empty since that revision. Replies OK.
local born = tonumber(redis.call('HGET', M, 'born'))
if known and not idle and born and born <= tonumber(ARGV[5]) then
  redis.call('HSET', M, 'listed', 1)
end
commit()
return {'OK'}
