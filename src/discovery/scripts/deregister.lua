-- ARGV: 5 service
-- Replies OK 0|1: whether the service was there.
sweep()
local service = ARGV[5]
local nodes = redis.call('ZLEXCOUNT', I, first_of(service), after_last_of(service))
if nodes > MOST_OF_SERVICE then return too_many(I, nodes, MOST_OF_SERVICE) end
local found = redis.call('HDEL', S, service)
if found == 1 then touched[service] = true end
for _, member in ipairs(redis.call('ZRANGEBYLEX', I, first_of(service), after_last_of(service))) do
  if look(member) then found = 1 end
  forget(member)
end
commit()
return {'OK', found}
