-- Returns the time and the states of alert rules; a leader also registers its fencing token.
--
-- KEYS  1 the greatest fencing token (string)
--       2 states (hash)
-- ARGV  1 the time in µs (tests only), else ""
--       2 the leader's fencing token, "" if the caller is not the leader
-- Reply  nil if the token is smaller than an earlier one,
--        else the time in µs, and a list in which names and states alternate

if ARGV[2] ~= '' then
  if tonumber(ARGV[2]) < tonumber(redis.call('GET', KEYS[1]) or 0) then return false end
  redis.call('SET', KEYS[1], ARGV[2])
end
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
return { now, redis.call('HGETALL', KEYS[2]) }
