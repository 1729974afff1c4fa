-- Gives: the stamp of the registry, then method, stamp and options of each method.
local list = { call('HGET', P .. 'g', '') or '0' }
local methods = call('HGETALL', P .. 'm')
for i = 1, #methods, 2 do
  list[#list + 1] = methods[i]
  list[#list + 1] = call('HGET', P .. 'g', methods[i]) or ''
  list[#list + 1] = methods[i + 1]
end
return list
