-- Replies OK, then the services in no order.
sweep()
commit()
local reply = each_service()
table.insert(reply, 1, 'OK')
return reply
