-- ARGV: Respite, bus, worker ttl, what: 'methods', 'workers' or 'stats', then methods for 'stats' and 'methods'.
-- Gives for methods and stats: queued, in flight and (for stats) counters of each method, then the workers.
-- A worker: name, milliseconds since it was heard of, patterns, calls in flight (for 'workers').
local TTL, what = tonumber(ARGV[3]), ARGV[4]
local holding = {}
if what == 'workers' then
  for _, delivery in ipairs(call('HVALS', P .. 'o')) do
    local worker = match(delivery, '^[^\n]*\n([^\n]*)') or ''
    holding[worker] = (holding[worker] or 0) + 1
  end
end
local direct, waits = {}, {}
if #ARGV > 4 then
  local said = call('HGETALL', P .. 'l')
  for i = 1, #said, 2 do
    if said[i] ~= ME and tonumber(match(said[i + 1], '^%d+')) > now then
      for count, method in string.gmatch(said[i + 1], '\n(%d+) ([^\n]+)') do
        waits[method] = (waits[method] or 0) + count
      end
    end
  end
  for _, id in ipairs(call('HKEYS', P .. 'o')) do
    local method = match(id, '^[^.]+%.0%-1%.(.+)$')
    if method then direct[method] = (direct[method] or 0) + 1 end
  end
end
local methods, bytes = {}, 0
for i = 5, #ARGV do
  local counters, h = {}, P .. 'h:' .. ARGV[i]
  if what == 'stats' then
    local there = call('HLEN', h)
    if there > MOST_COUNTERS then return too_many(h, there, MOST_COUNTERS) end
    for _, name in ipairs(call('HKEYS', h)) do
      if #name <= LONGEST_NAME and call('HSTRLEN', h, name) <= LONGEST_COUNTER then
        counters[#counters + 1] = name
        counters[#counters + 1] = call('HGET', h, name)
        bytes = bytes + #name + #counters[#counters]
      end
    end
    if bytes > MOST_VOLUME then return too_long(h, MOST_VOLUME) end
  end
  local q = P .. 'q:' .. ARGV[i]
  local all, read = call('XLEN', q), 0
  if all > 0 then read = call('XPENDING', q, 'g')[1] end
  local waiting, revived = call('ZCARD', P .. 'y:' .. ARGV[i]), call('SCARD', P .. 'v:' .. ARGV[i])
  methods[#methods + 1] = {
    all - read + waiting + (waits[ARGV[i]] or 0), math.max(0, read + revived - waiting) + (direct[ARGV[i]] or 0), counters,
  }
end
local workers = {}
if what ~= 'stats' then
  local list = alive()
  for i = 1, #list, 2 do
    local heard = math.max(0, now - (tonumber(list[i + 1]) - TTL))
    local patterns = patterns_of(list[i])
    bytes = bytes + #list[i] + #patterns
    if bytes > MOST_VOLUME then return too_long(P .. 'p', MOST_VOLUME) end
    workers[#workers + 1] = { list[i], heard, patterns, holding[list[i]] or 0 }
  end
end
return { methods, workers }
