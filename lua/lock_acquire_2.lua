-- Acquires a lock until its TTL has passed. If its owner holds it already, its depth grows by one.
--
-- KEYS  1 the lock: "token depth id owner", expires with the lock (string)
--       2 the last fencing token, followed by the id of the request that released that grant; kept for a day (string)
-- ARGV  1 the owner
--       2 the request's id; a repeated request counts once
--       3 the TTL in ms
-- Reply  {1, token, depth} granted
--        {0, remaining ms of the other owner's TTL} refused
--
-- A fencing token is greater than every earlier one, even if Redis lost the last one, because it is at least the
-- server's time in µs.

local id = 'acquire:' .. ARGV[2]
local lock = redis.call('GET', KEYS[1])
if lock then
  local token, depth, last_id, owner = string.match(lock, '^(%d+) (%d+) (%S+) (.*)$')
  if owner ~= ARGV[1] then
    return {0, math.max(redis.call('PTTL', KEYS[1]), 1)}
  end
  if id ~= last_id then depth = depth + 1 end
  local ttl = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[3]))
  redis.call('SET', KEYS[1], token .. ' ' .. string.format('%.0f', depth) .. ' ' .. id .. ' ' .. owner,
    'PX', string.format('%.0f', ttl))
  return {1, tonumber(token), tonumber(depth)}
end

local time = redis.call('TIME')
local last_token = string.match(redis.call('GET', KEYS[2]) or '0', '^%d+')
local token = math.max(tonumber(last_token) + 1, time[1] * 1000000 + time[2])
local text = string.format('%.0f', token)
redis.call('SET', KEYS[2], text, 'EX', 86400)
redis.call('SET', KEYS[1], text .. ' 1 ' .. id .. ' ' .. ARGV[1], 'NX', 'PX', ARGV[3])
return {1, token, 1}
