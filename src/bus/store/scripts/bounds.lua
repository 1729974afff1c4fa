-- What is read of keys that others may have filled, for the scripts that read much.

-- The error for a key that holds more than is read; its first words are known to whoever reads it.
local function too_many(key, there, most)
  return { err = 'ERR too large: ' .. key .. ' has ' .. there .. ' entries, more than the ' .. most .. ' that can be there' }
end
local function too_long(key, most)
  return { err = 'ERR too large: what is asked for of ' .. key .. ' has more than ' .. most .. ' bytes' }
end

-- The workers that are alive, and until when; not what no worker can be called.
local function alive()
  local list, found = {}, call('ZRANGEBYSCORE', P .. 'w', '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, MOST_WORKERS)
  for i = 1, #found, 2 do
    if #found[i] <= LONGEST_NAME then
      list[#list + 1] = found[i]
      list[#list + 1] = found[i + 1]
    end
  end
  return list
end

local function patterns_of(worker)
  if call('HSTRLEN', P .. 'p', worker) > LONGEST_PATTERNS then return '' end
  return call('HGET', P .. 'p', worker) or ''
end

