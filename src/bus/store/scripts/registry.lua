-- Gives: the stamp of the registry, then method, stamp and options of each method. What no Respite can have written is left out.
local there = call('HLEN', P .. 'm')
if there > MOST_METHODS then return too_many(P .. 'm', there, MOST_METHODS) end
local list = { stamp_of('') or '0' }
for _, method in ipairs(call('HKEYS', P .. 'm')) do
  if #method <= LONGEST_NAME and call('HSTRLEN', P .. 'm', method) <= LONGEST_OPTIONS then
    list[#list + 1] = method
    list[#list + 1] = stamp_of(method) or ''
    list[#list + 1] = call('HGET', P .. 'm', method)
  end
end
return list
