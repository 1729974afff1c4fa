-- All services: those that are registered, and those that have nodes; or nothing and the error when there cannot be so many.
local function each_service()
  local registered, nodes = redis.call('HLEN', S), redis.call('ZCARD', I)
  if registered > MOST_SERVICES then return nil, too_many(S, registered, MOST_SERVICES) end
  if nodes > MOST_NODES then return nil, too_many(I, nodes, MOST_NODES) end
  local names, list = {}, {}
  local function add(service)
    if not names[service] then
      names[service] = true
      list[#list + 1] = service
    end
  end
  for _, service in ipairs(redis.call('HKEYS', S)) do add(service) end
  local from = '-'
  while true do
    local member = redis.call('ZRANGEBYLEX', I, from, '+', 'LIMIT', 0, 1)[1]
    if not member then return list end
    local service = service_of(member)
    if names[service] or look(member) then
      add(service)
      from = '[' .. service .. '\2'
    else
      from = '(' .. member
    end
  end
end

