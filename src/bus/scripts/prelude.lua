-- What every script of the bus begins with: its keys, its clock, and how a call is queued and how it ends.
--
-- KEYS[1] is the registry, `PREFIX .. 'm'`; all other keys of the bus have the same hash tag:
--   m  method -> options             g  method -> stamp; '' -> stamp of the whole registry
--   t  call -> when it is looked at again, also the list of all calls       k:ID  a call
--   q:METHOD  the queue, a stream with one group: queued and in flight      s  methods that may have queued calls
--   f:METHOD  key -> the call that is under way for it
--   c:METHOD  key -> cached result   e:METHOD  key -> when it expires
--   w  worker -> alive until         p  worker -> patterns                  i  Respite -> wants hints until
--   d:METHOD  dead calls by time     h:METHOD  counters
--
-- A call's fields: m method, s state (q queued, f in flight, d done, e failed, c given up, x dead), o options,
-- d deadline, b born (us), h homes (the Respites where somebody waits), z 1: the result is kept, j how many
-- wait, y key, a w p what was sent, x place in the queue, n deliveries, t token, u visible until, r worker,
-- l delivered (us), v outcome, fc fm code and message of the last failure.
--
-- ARGV[1] is this Respite, ARGV[2] the bus.
if redis.replicate_commands then redis.replicate_commands() end
local call = redis.call
local P = string.sub(KEYS[1], 1, -2)
local ME, BUS = ARGV[1], ARGV[2]
local GRACE = 60000     -- how much longer than needed a key lives, at least
local TAKEN = 60000     -- how long an outcome waits for the callers that it was meant for
local DEAD = 86400000   -- how long a dead call is kept
local MOST_DEAD = 1000  -- and how many of a method
local clock = call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)

local leases = {}
-- The key lives at least so much longer.
local function lease(key, ms)
  local has = leases[key] or call('PTTL', key)
  if has < ms then
    has = ms + GRACE
    call('PEXPIRE', key, has)
  end
  leases[key] = has
end

local ended = {}   -- calls whose outcome somebody here waits for
local failed = {}  -- method, error line: for the counters
local homes = {}   -- other Respite -> calls whose outcome somebody there waits for
local queued = {}  -- method -> how many were queued
local longest = 0  -- how long the list of calls must live

local function look_again(id, at)
  call('ZADD', P .. 't', at, id)
  if at - now > longest then longest = at - now end
end

local function tell(id, where)
  for home in string.gmatch(where, '[^,]+') do
    if home == ME then
      ended[#ended + 1] = id
    else
      local ids = homes[home] or {}
      ids[#ids + 1] = id
      homes[home] = ids
    end
  end
end

local FIELDS = { 'm', 's', 'o', 'd', 'h', 'z', 'j', 'y', 'x', 'n', 't', 'u', 'r', 'l' }
local function load(id)
  local values = call('HMGET', P .. 'k:' .. id, unpack(FIELDS))
  if not values[1] then return nil end
  local c = {}
  for i, field in ipairs(FIELDS) do c[field] = values[i] end
  return c
end

-- visibility, result ttl, cache ttl, idempotent, most deliveries, timeout
local function options(c)
  local v, r, t, i, m, o = string.match(c.o, '^(%d+) (%d+) (%d+) (%d) (%d+) (%d+)')
  return tonumber(v), tonumber(r), tonumber(t), i == '1', tonumber(m), tonumber(o)
end

local function enqueue(id, method, deadline)
  local q = P .. 'q:' .. method
  if not leases[q] then
    local ttl = call('PTTL', q)
    if ttl == -2 then call('XGROUP', 'CREATE', q, 'g', '0', 'MKSTREAM') end
    leases[q] = ttl
  end
  local x = call('XADD', q, '*', 'i', id)
  lease(q, deadline - now + GRACE)
  if not queued[method] then
    call('SADD', P .. 's', method)
    lease(P .. 's', deadline - now + GRACE)
  end
  queued[method] = (queued[method] or 0) + 1
  return x
end

local function leave_queue(c)
  local q = P .. 'q:' .. c.m
  if c.s == 'f' then call('XACK', q, 'g', c.x) end
  call('XDEL', q, c.x)
end

-- Others need not wait for this call any more; true if it still was the one for its key.
local function unshare(id, c)
  if not c.y then return false end
  local f = P .. 'f:' .. c.m
  if call('HGET', f, c.y) ~= id then return false end
  call('HDEL', f, c.y)
  return true
end

local function keep_cached(method, key, value, ttl)
  call('HSET', P .. 'c:' .. method, key, value)
  call('ZADD', P .. 'e:' .. method, now + ttl, key)
  lease(P .. 'c:' .. method, ttl)
  lease(P .. 'e:' .. method, ttl)
end

-- Ends a call that is queued or in flight: its outcome is kept for those who wait, and they are told.
local function finish(id, c, state, value)
  local visibility, result_ttl, cache_ttl = options(c)
  local keep = result_ttl
  if not c.z and keep > TAKEN then keep = TAKEN end
  -- A worker that still holds it can ask what became of it.
  if state == 'c' and c.s == 'f' and keep < visibility then keep = visibility end
  local k = P .. 'k:' .. id
  call('HSET', k, 's', state, 'v', value)
  if c.z then call('HDEL', k, 'a', 'w', 'p') end
  call('PEXPIRE', k, keep + GRACE)
  look_again(id, now + keep)
  leave_queue(c)
  if unshare(id, c) and state == 'd' then keep_cached(c.m, c.y, value, cache_ttl) end
  if state ~= 'd' then
    failed[#failed + 1] = c.m
    failed[#failed + 1] = value
  end
  tell(id, c.h)
end

local function poison(id, c, code, message)
  local k = P .. 'k:' .. id
  local value = 'POISON given up after ' .. c.n .. ' deliveries: ' .. code .. ' ' .. message
  call('HSET', k, 's', 'x', 'v', value, 'fc', code, 'fm', message)
  call('PEXPIRE', k, DEAD + GRACE)
  look_again(id, now + DEAD)
  leave_queue(c)
  unshare(id, c)
  local d = P .. 'd:' .. c.m
  call('ZADD', d, now, id)
  call('ZREMRANGEBYRANK', d, 0, -1 - MOST_DEAD)
  lease(d, DEAD)
  failed[#failed + 1] = c.m
  failed[#failed + 1] = value
  tell(id, c.h)
end

-- Puts a call that is in flight back into its queue.
local function put_back(id, c, deliveries)
  leave_queue(c)
  local deadline = tonumber(c.d)
  local x = enqueue(id, c.m, deadline)
  call('HSET', P .. 'k:' .. id, 's', 'q', 'x', x, 'n', deliveries, 't', '')
  look_again(id, deadline)
end

-- A delivery came to nothing: another one, or the end.
local function retry(id, c, code, message)
  local _, _, _, idempotent, most = options(c)
  if tonumber(c.n) < most and idempotent then
    call('HSET', P .. 'k:' .. id, 'fc', code, 'fm', message)
    put_back(id, c, c.n)
  elseif idempotent then
    poison(id, c, code, message)
  else
    finish(id, c, 'e', code .. ' ' .. message)
  end
end

local function lost(id, c)
  retry(id, c, 'WORKERLOST', 'the worker ' .. (c.r or '') .. ' was lost')
end

local function forget(id)
  call('DEL', P .. 'k:' .. id)
  call('ZREM', P .. 't', id)
end

-- So many that waited have their outcome.
local function release(id, c, count)
  if c.z or c.s == 'x' or c.s == 'c' then return end
  if c.j and call('HINCRBY', P .. 'k:' .. id, 'j', -count) > 0 then return end
  forget(id)
end

-- Ends what its time has come for.
local function look_at_due(most)
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. 't', '-inf', now, 'LIMIT', 0, most)) do
    local c = load(id)
    if not c then
      call('ZREM', P .. 't', id)
    elseif c.s ~= 'q' and c.s ~= 'f' then
      forget(id)
      if c.s == 'x' then call('ZREM', P .. 'd:' .. c.m, id) end
    elseif tonumber(c.d) <= now then
      finish(id, c, c.s == 'f' and 'c' or 'e', 'DEADLINE the call was not answered in time')
    elseif c.s == 'f' and tonumber(c.u) <= now then
      lost(id, c)
    else
      look_again(id, c.d)
    end
  end
end

-- The last thing that a script does: keys live long enough, others are told.
local function close()
  if longest > 0 then lease(P .. 't', longest) end
  for home, ids in pairs(homes) do
    call('PUBLISH', 'respite:b:' .. home, 'r\n' .. BUS .. '\n' .. table.concat(ids, '\n'))
  end
  if next(queued) then
    local news = 'q\n' .. BUS
    for method, count in pairs(queued) do news = news .. '\n' .. count .. '\n' .. method end
    for _, home in ipairs(call('ZRANGEBYSCORE', P .. 'i', '(' .. now, '+inf')) do
      if home ~= ME then call('PUBLISH', 'respite:b:' .. home, news) end
    end
  end
end

local function queued_list()
  local list = {}
  for method, count in pairs(queued) do
    list[#list + 1] = method
    list[#list + 1] = count
  end
  return list
end
