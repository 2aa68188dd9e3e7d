-- Tells the time and the states of alert rules, to anyone or to who leads.
--
-- KEYS  1 the greatest fencing token (text)   2 states (hash)
-- ARGV  1 the time in µs for tests, else ""   2 the fencing token of who leads, "" for anyone
-- Reply  nil where the token is smaller than one that was here before
--        else the time in µs, and names and states in turn

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
