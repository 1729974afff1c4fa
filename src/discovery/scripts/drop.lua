-- Replies OK and how many services were removed; of a group that holds too much to be looked through, those that were registered.
sweep()
local services = each_service()
local found = services and #services or redis.call('HLEN', S)
if not is_empty() then
  redis.call('UNLINK', S, V, N, I, L, K, R)
  everything = true
end
commit()
return {'OK', found}
