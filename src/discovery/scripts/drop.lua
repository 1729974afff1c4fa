-- Replies OK and how many services were removed.
sweep()
local found = #each_service()
if not is_empty() then
  redis.call('DEL', S, V, N, I, L, K, R)
  everything = true
end
commit()
return {'OK', found}
