-- Takes a lock for a time, once more where its owner holds it already.
--
-- KEYS  1 the lock: "token depth id owner", with the lock's ttl
--       2 the last fencing token, kept for a day; behind it the id of the request that gave that grant back
-- ARGV  1 owner   2 id of the request: the same one counts once   3 ttl in ms
-- Reply  {1, token, depth} granted, {0, ms that are left of another's ttl} refused
--
-- A fencing token is above the last one, and above the microsecond of every grant before where the last one was lost.

local id = 'acquire:' .. ARGV[2]
local held = redis.call('GET', KEYS[1])
if held then
  local token, depth, last, owner = string.match(held, '^(%d+) (%d+) (%S+) (.*)$')
  if owner ~= ARGV[1] then
    return {0, math.max(redis.call('PTTL', KEYS[1]), 1)}
  end
  if id ~= last then depth = depth + 1 end
  local left = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[3]))
  redis.call('SET', KEYS[1], token .. ' ' .. string.format('%.0f', depth) .. ' ' .. id .. ' ' .. owner,
    'PX', string.format('%.0f', left))
  return {1, tonumber(token), tonumber(depth)}
end

local time = redis.call('TIME')
local last = string.match(redis.call('GET', KEYS[2]) or '0', '^%d+')
local token = math.max(tonumber(last) + 1, time[1] * 1000000 + time[2])
local text = string.format('%.0f', token)
redis.call('SET', KEYS[2], text, 'EX', 86400)
redis.call('SET', KEYS[1], text .. ' 1 ' .. id .. ' ' .. ARGV[1], 'NX', 'PX', ARGV[3])
return {1, token, 1}
