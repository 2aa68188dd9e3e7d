-- Records a heartbeat of a process and returns the number of processes.
--
-- KEYS  1 processes (sorted set, scored by last heartbeat in µs)
-- ARGV  1 this process's id
--       2 how long a process counts after its last heartbeat, in µs
-- Reply  the number of processes, including this one

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local expiry = tonumber(ARGV[2])
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now - expiry))
-- A heartbeat in the future was recorded before the server's clock was set back.
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%.0f', now + expiry), '+inf')
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', expiry / 1000))
return redis.call('ZCARD', KEYS[1])
