-- Who has to be asked before the registry changes, for the scripts that change it.

-- Whether the registry was changed so lately that some may not have heard of it.
local function is_fresh()
  local at = call('HGET', P .. 'g', '')
  return not at or now_us - tonumber(at) < LEASE * 1000
end

-- The Respites that the registry is leased to, and for how long.
local function holders()
  local list = {}
  local found = call('ZRANGEBYSCORE', P .. 'x', '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, MOST_HOLDERS)
  for i = 1, #found, 2 do
    if found[i] ~= ME and #found[i] == #ME then
      list[#list + 1] = found[i]
      list[#list + 1] = tonumber(found[i + 1]) - now
    end
  end
  return list
end

