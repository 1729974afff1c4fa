-- Replies OK, then the services in no order.
sweep()
commit()
local reply, refusal = each_service()
if not reply then return refusal end
local bytes = 0
for _, service in ipairs(reply) do bytes = bytes + #service end
if bytes > MOST_REPLY then return too_long(S, MOST_REPLY) end
table.insert(reply, 1, 'OK')
return reply
