-- The orders that are not in every exchange, and what the others need in rare cases.
local orders = {}

-- A new call that equal ones share: answered from the cache.
function orders.cached(number, method, kept, mode, key, meta)
  if mode == 'r' then return nil end
  local till = call('ZSCORE', P .. 'e:' .. method, key)
  local value = till and tonumber(till) > now and call('HGET', P .. 'c:' .. method, key)
  if value and #value > MOST_BODY then value = nil end
  if value then
    -- Asked again when there is room for it.
    if volume >= MOST_VOLUME then return { 'G' } end
    volume = volume + #value
    local id = number .. '.0-0.' .. method
    if kept == '1' then
      local ttl = tonumber(match(meta, '^%S+ %d+ %d+ (%d+)'))
      call('SET', P .. 'r:' .. number, 'd' .. value, 'PX', ttl)
      call('HSET', P .. 'k:' .. number, 'z', '1')
      call('PEXPIRE', P .. 'k:' .. number, ttl)
      look_again(id, now + ttl)
    end
    return { 'V', value, id }
  end
end

-- Or it waits for one that is under way.
function orders.join(method, kept, timeout, mode, key)
  if mode == 'r' then return nil end
  local other = call('HGET', P .. 'f:' .. method, key)
  local c = other and load(other)
  if not c or (c.s ~= 'q' and c.s ~= 'f') or c.d <= now then return nil end
  local k = P .. 'k:' .. c.number
  if kept == '1' then call('HSET', k, 'z', '1') else wait_here(c) end
  call('HINCRBY', k, 'j', 1)
  local deadline = now + timeout
  if deadline > c.d then
    call('HSET', k, 'd', deadline)
    call('PEXPIRE', k, timeout + GRACE)
    look_again(other, c.u and math.min(c.u, deadline) or deadline)
    lease(P .. 'q:' .. method, timeout + GRACE)
    lease(P .. 'o', timeout + GRACE)
    lease(P .. 'n', timeout + GRACE)
    lease(P .. 'f:' .. method, timeout)
  end
  return { 'J', other }
end

-- From now on equal calls wait for this one.
function orders.shared(id, method, key, timeout)
  local k = P .. 'k:' .. match(id, '^[^.]+')
  call('HSET', k, 'j', 1)
  call('PEXPIRE', k, timeout + GRACE)
  call('HSET', P .. 'f:' .. method, key, id)
  lease(P .. 'f:' .. method, timeout)
end

function orders.living()
  local workers = {}
  local list = alive()
  for i = 1, #list, 2 do
    local patterns = patterns_of(list[i])
    volume = volume + #list[i] + #patterns
    if volume > MOST_VOLUME then break end
    workers[#workers + 1] = list[i]
    workers[#workers + 1] = patterns
  end
  return workers
end

-- The next call of a method that is to be delivered again.
function orders.again(method)
  while true do
    local item = call('ZPOPMIN', P .. 'y:' .. method)
    if not item[1] then
      call('SREM', P .. 'y', method)
      return nil
    end
    local c = load(item[1])
    if c and c.s == 'q' and c.d > now and #c.a <= MOST_BODY then return c, tonumber(item[2]) % MOST_DELIVERIES end
  end
end

-- An entry was read for nobody: it is delivered next.
function orders.leave(method, x, meta)
  local c = load(match(meta, '^%d+ (%S+)') .. '.' .. x .. '.' .. method)
  if c then again(c, 0) end
end

-- Methods with calls that no worker has yet, and how many.
function orders.ready()
  local list = {}
  -- Unregistered methods may be among them, but not that many.
  local methods = call('SCARD', P .. 's') + call('SCARD', P .. 'y') <= 10 * MOST_METHODS
    and call('SUNION', P .. 's', P .. 'y')
    or call('HLEN', P .. 'm') <= MOST_METHODS and call('HKEYS', P .. 'm') or {}
  for _, method in ipairs(methods) do
    local q = P .. 'q:' .. method
    local count = call('XLEN', q)
    if count > 0 then count = count - call('XPENDING', q, 'g')[1] end
    count = count + call('ZCARD', P .. 'y:' .. method)
    if count > 0 then
      list[#list + 1] = method
      list[#list + 1] = count
    end
  end
  return list
end

-- R: a worker's outcome, but for the usual one. Kind d: done, e: failed, r: failed, to be tried again.
function orders.R(id, kind, value, code)
  local c = load(id)
  if kind == 'd' then
    finish(c, 'd', value)
  elseif kind == 'r' and c.idempotent then
    retry(c, code, value)
  else
    finish(c, 'e', 'BUSFAIL ' .. code .. ' ' .. value)
  end
end

-- E: somebody does not want the outcome any more. Why: d deadline of its own, g gone, c BUS.CANCEL.
function orders.E(id, why)
  local c = load(id)
  if not c then return { 'n' } end
  if c.s ~= 'q' and c.s ~= 'f' then
    if why == 'c' then return { 0 } end
    release(c, 1)
    if not has_room(c.v) then return { 'p' } end
    return { c.s == 'd' and 'd' or 'e', c.v }
  end
  if why == 'c' then
    finish(c, c.s == 'f' and 'c' or 'e', 'CANCELLED the call was cancelled')
    return { 1 }
  end
  if c.kept or (c.j and call('HINCRBY', P .. 'k:' .. c.number, 'j', -1) > 0) then return { 'p' } end
  local text = why == 'd' and LATE or 'CANCELLED the caller is gone'
  if c.s == 'f' then
    c.home = '-'
    finish(c, 'c', text)
  else
    leave_queue(c)
    unshare(c)
    forget(c)
    -- Whoever asked for its result need not wait any more.
    c.home = '-'
    tell(c)
    failed[#failed + 1] = c.m
    failed[#failed + 1] = text
  end
  return { 'p' }
end

-- D: a direct call, which a worker has, is kept from now on. It has no entry in the stream. Times in milliseconds:
-- until its deadline, since the worker has it; since it waits in microseconds.
function orders.D(id, token, worker, left, handed, begun, meta)
  local number, method = match(id, '^([^.]+)%.[^.]+%.(.+)$')
  if call('HEXISTS', P .. 'm', method) == 0 then return { 'M' } end
  -- It was told before, and has ended.
  if call('EXISTS', P .. 'r:' .. number) == 1 then return { 'K' } end
  local visibility = tonumber(match(meta, '^%S+ %d+ (%d+)'))
  left, handed = tonumber(left), tonumber(handed)
  local till, deadline = now + visibility - handed, now + left
  call('HSET', P .. 'o', id, token .. ' 1 ' .. till .. ' ' .. string.format('%.0f', now_us - handed * 1000)
    .. '\n' .. worker .. '\n' .. string.format('%.0f', now_us - begun) .. ' ' .. meta)
  lease(P .. 'o', left + GRACE)
  local k = P .. 'k:' .. number
  call('HSET', k, 'd', deadline)
  call('PEXPIRE', k, left + GRACE)
  look_again(id, math.min(till, deadline))
  return { 'K' }
end

-- V: a direct call that may have been kept has ended at the Respite that owns it.
function orders.V(id)
  local c = load(id)
  if c and c.s == 'f' then
    leave_queue(c)
    forget(c)
  end
  return 0
end

-- O: a direct call has ended, and the Respite of its caller could not be told, or may look for it here.
function orders.O(id, home, outcome)
  local number = match(id, '^[^.]+')
  if call('EXISTS', P .. 'r:' .. number) == 1 then return { 'K' } end
  orders.V(id)
  call('SET', P .. 'r:' .. number, outcome, 'PX', TAKEN)
  look_again(id, now + TAKEN)
  local ids = homes[home] or {}
  ids[#ids + 1] = id
  homes[home] = ids
  return { 'K' }
end

-- L: a worker's connection is gone ('1': before the worker saw the call).
function orders.L(id, token, unseen)
  local c = load(id)
  if not c or c.s ~= 'f' or c.t ~= token then return { 0 } end
  if unseen == '1' and c.d > now and c.x ~= '0-1' then again(c, c.n - 1) else lost(c) end
  return { 1 }
end

-- T: tell this Respite when there is an outcome.
function orders.T(id)
  local c = load(id)
  if not c then return { 'n' } end
  if c.v then
    -- The next look has it.
    if not has_room(c.v) then return { 'p' } end
    return { c.s == 'd' and 'd' or 'e', c.v }
  end
  wait_here(c)
  return { 'p' }
end

-- Y: so many callers here have the outcome of a call that was shared.
function orders.Y(id, count)
  local c = load(id)
  if c then release(c, tonumber(count)) end
  return 0
end

-- B: a worker beats: it extends the first calls, and asks about all.
function orders.B(worker, extend, ids)
  local gone, cancelled, extended = {}, {}, {}
  for i, id in ipairs(ids) do
    local c = load(id)
    extended[i] = 0
    if c and c.s == 'c' then
      cancelled[#cancelled + 1] = id
    elseif not c or c.s ~= 'f' or c.r ~= worker then
      gone[#gone + 1] = id
    elseif i <= extend then
      extended[i] = c.visibility
      local till = now + c.visibility
      call('HSET', P .. 'o', id, table.concat({ c.t, c.n, till, c.l }, ' ') .. '\n' .. c.r .. '\n' .. c.meta)
      lease(P .. 'o', c.d - now + GRACE)
      look_again(id, math.min(till, c.d))
    end
  end
  return { gone, cancelled, extended }
end

orders.look_at_due = look_at_due
return orders
