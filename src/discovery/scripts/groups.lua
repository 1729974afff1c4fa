-- The groups that were entered into the list (KEYS[1]): name and entry in turn.
-- ARGV[1] the most groups, ARGV[2] the longest name; what is longer no Respite has entered, and is left out.
local there, most, longest = redis.call('ZCARD', KEYS[1]), tonumber(ARGV[1]), tonumber(ARGV[2])
if there > most then
  return {err = 'ERR too large: ' .. KEYS[1] .. ' has ' .. there .. ' entries, more than the ' .. most .. ' that can be there'}
end
local all, from, found = {}, 0, nil
repeat
  found = redis.call('ZRANGE', KEYS[1], from, from + 999, 'WITHSCORES')
  for at = 1, #found, 2 do
    if #found[at] <= longest then
      all[#all + 1] = found[at]
      all[#all + 1] = found[at + 1]
    end
  end
  from = from + 1000
until #found == 0
return all
