-- ARGV: 5 service
-- Replies OK, then the next passing node, if there is one: member record left.
sweep()
commit()
local service, last = ARGV[5], redis.call('HGET', R, ARGV[5])
-- The nodes behind the one that was given last, then those from the first up to it.
local ranges = {{first_of(service), after_last_of(service)}}
if last then ranges = {{'(' .. last, after_last_of(service)}, {first_of(service), '[' .. last}} end
for _, range in ipairs(ranges) do
  local from = range[1]
  repeat
    local members = redis.call('ZRANGEBYLEX', I, from, range[2], 'LIMIT', 0, 16)
    for _, member in ipairs(members) do
      local record, left, live = look(member)
      if live then
        local _, _, _, state = parse(record)
        if state == 'passing' then
          if #member + #record > MOST_RECORD then return too_long(N, MOST_RECORD) end
          if member ~= last then redis.call('HSET', R, service, member) end
          return {'OK', member, record, left}
        end
      end
      from = '(' .. member
    end
  until #members == 0
end
return {'OK'}
