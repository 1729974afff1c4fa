-- The life of one call, for the scripts that need more of it than being queued, delivered and answered.
local DEAD = 86400000   -- how long a dead call is kept
local MOST_DEAD = 1000  -- and how many of a method
local MOST_CACHED = 100000 -- the most results that are cached of a method; those that expire first go first
local MOST_DELIVERIES = 1024 -- more than a method may have
local LATE = 'DEADLINE the call was not answered in time'

local function look_again(id, at)
  at = tonumber(at)
  call('ZADD', P .. 't', at, id)
  if at - now > longest then longest = at - now end
end

-- Reads what is known of a call into its table.
local function read_meta(c, meta)
  local timeout, visibility, result_ttl, cache_ttl, idempotent, most, kept, home, key =
    match(meta, '^%d+ %S+ (%d+) (%d+) (%d+) (%d+) (%d) (%d+) (%d) (%S+) ?(.*)$')
  c.meta, c.timeout, c.visibility = meta, tonumber(timeout), tonumber(visibility)
  c.result_ttl, c.cache_ttl, c.most = tonumber(result_ttl), tonumber(cache_ttl), tonumber(most)
  c.idempotent, c.kept, c.home, c.key = idempotent == '1', kept == '1', home, key
end

-- Looks a call up. Its state s: q queued, f in flight, or that of its outcome.
local function load(id)
  local number, x, method = match(id, '^([^.]+)%.(%d+%-%d+)%.(.+)$')
  if not number then return nil end
  local c = { id = id, number = number, x = x, m = method }
  local more = call('HMGET', P .. 'k:' .. number, 'j', 'd', 'z', 'm', 'a')
  local outcome = call('GET', P .. 'r:' .. number)
  local meta = more[4]
  if outcome then
    c.s, c.v = sub(outcome, 1, 1), sub(outcome, 2)
    if #c.v > MOST_BODY then c.s, c.v = 'e', 'ERR the outcome has more bytes than one can have' end
  else
    local delivery = call('HGET', P .. 'o', id)
    if delivery then
      c.s = 'f'
      c.t, c.n, c.u, c.l, c.r, meta = match(delivery, '^(%S+) (%d+) (%d+) (%d+)\n([^\n]*)\n(.*)$')
      c.n, c.u = tonumber(c.n), tonumber(c.u)
    else
      c.s = 'q'
      if meta then
        c.a = more[5]
      else
        local entry = call('XRANGE', P .. 'q:' .. method, x, x)[1]
        if not entry then return nil end
        meta, c.a = entry[2][2], entry[2][4]
      end
    end
  end
  if meta then
    -- An id that somebody made up.
    if match(meta, '^%d+ (%S+)') ~= number then return nil end
    read_meta(c, meta)
    c.d = tonumber(more[2]) or match(x, '^%d+') + c.timeout
  end
  c.j, c.revived = more[1], more[4] and true
  if more[3] then c.kept = true end
  return c
end

local function tell(c)
  local where = c.home
  local more = call('HGET', P .. 'n', c.id)
  if more then
    where = where .. ',' .. more
    call('HDEL', P .. 'n', c.id)
  end
  for home in string.gmatch(where, '[^,]+') do
    if home == ME then
      ended[#ended + 1] = c.id
    elseif home ~= '-' then
      local ids = homes[home] or {}
      ids[#ids + 1] = c.id
      homes[home] = ids
    end
  end
end

-- The outcome is waited for here, too.
local function wait_here(c)
  local more = call('HGET', P .. 'n', c.id)
  if c.home == ME or (more and string.find(more, ME, 1, true)) then return end
  call('HSET', P .. 'n', c.id, more and more .. ',' .. ME or ME)
  lease(P .. 'n', math.max(c.d - now, 0) + GRACE)
end

local function leave_queue(c)
  local q = P .. 'q:' .. c.m
  call('XACK', q, 'g', c.x)
  call('XDEL', q, c.x)
  call('HDEL', P .. 'o', c.id)
  -- A direct call is not in the stream.
  if c.x == '0-1' then call('DEL', P .. 'k:' .. c.number) end
  if c.s == 'q' then call('ZREM', P .. 'y:' .. c.m, c.id) end
  if c.revived then
    call('SREM', P .. 'v:' .. c.m, c.id)
    call('HDEL', P .. 'k:' .. c.number, 'm', 'a')
  end
end

-- Others need not wait for this call any more; true if it still was the one for its key.
local function unshare(c)
  if c.key == '' then return false end
  local f = P .. 'f:' .. c.m
  if call('HGET', f, c.key) ~= c.id then return false end
  call('HDEL', f, c.key)
  return true
end

local function keep_cached(method, key, value, ttl)
  call('HSET', P .. 'c:' .. method, key, value)
  call('ZADD', P .. 'e:' .. method, now + ttl, key)
  lease(P .. 'c:' .. method, ttl)
  lease(P .. 'e:' .. method, ttl)
  if call('ZCARD', P .. 'e:' .. method) > MOST_CACHED then
    call('HDEL', P .. 'c:' .. method, call('ZPOPMIN', P .. 'e:' .. method)[1])
  end
end

-- Ends a call that is queued or in flight: its outcome is kept for those who wait, and they are told.
local function finish(c, state, value)
  local keep = c.kept and c.result_ttl or TAKEN
  -- A worker that still holds it can ask what became of it.
  if state == 'c' and keep < c.visibility then keep = c.visibility end
  call('SET', P .. 'r:' .. c.number, state .. value, 'PX', keep)
  if c.j then call('PEXPIRE', P .. 'k:' .. c.number, keep) end
  look_again(c.id, now + keep)
  leave_queue(c)
  if unshare(c) and state == 'd' then keep_cached(c.m, c.key, value, c.cache_ttl) end
  if state ~= 'd' then
    failed[#failed + 1] = c.m
    failed[#failed + 1] = value
  end
  tell(c)
end

local function poison(c, code, message)
  local k = P .. 'k:' .. c.number
  local value = 'POISON given up after ' .. c.n .. ' deliveries: ' .. code .. ' ' .. message
  local entry = call('XRANGE', P .. 'q:' .. c.m, c.x, c.x)[1]
  local meta, body = c.meta, entry and entry[2][4] or call('HGET', k, 'a')
  leave_queue(c)
  call('HSET', k, 'm', meta, 'a', body or '', 'n', c.n, 'fc', code, 'fm', message)
  call('PEXPIRE', k, DEAD + GRACE)
  call('SET', P .. 'r:' .. c.number, 'x' .. value, 'PX', DEAD + GRACE)
  look_again(c.id, now + DEAD)
  unshare(c)
  local d = P .. 'd:' .. c.m
  call('ZADD', d, now, c.id)
  for _, id in ipairs(call('ZRANGE', d, 0, -1 - MOST_DEAD)) do
    local number = match(id, '^[^.]+')
    call('DEL', P .. 'k:' .. number, P .. 'r:' .. number)
    call('ZREM', P .. 't', id)
    call('ZREM', d, id)
  end
  lease(d, DEAD)
  failed[#failed + 1] = c.m
  failed[#failed + 1] = value
  tell(c)
end

-- Has a call delivered again, after so many deliveries. It keeps its place in the stream.
local function again(c, deliveries)
  local y = P .. 'y:' .. c.m
  local life = math.max(c.d - now, 0) + GRACE
  call('HDEL', P .. 'o', c.id)
  call('ZADD', y, now * MOST_DELIVERIES + deliveries, c.id)
  call('SADD', P .. 'y', c.m)
  lease(y, life)
  lease(P .. 'y', life)
  look_again(c.id, c.d)
  queued[c.m] = (queued[c.m] or 0) + 1
end

-- A delivery came to nothing: another one, or the end.
local function retry(c, code, message)
  if not c.idempotent then
    finish(c, 'e', code .. ' ' .. message)
  elseif c.n < c.most then
    again(c, c.n)
  else
    poison(c, code, message)
  end
end

local function lost(c)
  retry(c, 'WORKERLOST', 'the worker ' .. c.r .. ' was lost')
end

local function forget(c)
  call('DEL', P .. 'k:' .. c.number, P .. 'r:' .. c.number)
  call('ZREM', P .. 't', c.id)
  if c.s == 'x' then call('ZREM', P .. 'd:' .. c.m, c.id) end
end

-- So many that waited have their outcome.
local function release(c, count)
  if c.kept or c.s == 'x' or c.s == 'c' then return end
  if c.j and call('HINCRBY', P .. 'k:' .. c.number, 'j', -count) > 0 then return end
  forget(c)
end

-- Ends what its time has come for.
local function look_at_due(most)
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. 't', '-inf', now, 'LIMIT', 0, most)) do
    local c = load(id)
    if not c then
      call('ZREM', P .. 't', id)
    elseif c.s == 'x' then
      forget(c)
    elseif c.s ~= 'q' and c.s ~= 'f' then
      local left = call('PTTL', P .. 'r:' .. c.number)
      if left > 0 then look_again(id, now + left) else forget(c) end
    elseif c.d <= now then
      finish(c, c.s == 'f' and 'c' or 'e', LATE)
    elseif c.s == 'f' and c.u <= now then
      lost(c)
    else
      look_again(id, c.u and math.min(c.u, c.d) or c.d)
    end
  end
end
