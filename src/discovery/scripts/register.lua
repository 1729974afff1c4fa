-- ARGV: 5 service, 6 registration, 7 most services
-- Replies FULL, or OK epoch rev created unlisted.
sweep()
local before = redis.call('HGET', S, ARGV[5])
if not before and redis.call('HLEN', S) >= tonumber(ARGV[7]) then
  commit()
  return {'FULL'}
end
if before ~= ARGV[6] then
  redis.call('HSET', S, ARGV[5], ARGV[6])
  touched[ARGV[5]] = true
end
commit()
local e, r = index()
return {'OK', e, r, before and 0 or 1, unlisted()}
