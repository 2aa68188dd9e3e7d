-- Records a heartbeat of a process, with what it says about itself, and returns the number of processes.
--
-- KEYS  1 processes (sorted set, scored by last heartbeat in µs)
--       2 what each process says about itself (hash)
-- ARGV  1 this process's id, "" to count the processes without being one of them
--       2 how long a process counts after its last heartbeat, in µs
--       3 what this process says about itself
-- Reply  the number of processes

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local expiry = tonumber(ARGV[2])
local oldest, newest = string.format('%.0f', now - expiry), string.format('%.0f', now + expiry)
if ARGV[1] == '' then return redis.call('ZCOUNT', KEYS[1], oldest, newest) end

-- A heartbeat in the future was recorded before the server's clock was set back.
for _, range in ipairs({ { '-inf', '(' .. oldest }, { '(' .. newest, '+inf' } }) do
  for _, process in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], range[1], range[2])) do
    redis.call('ZREM', KEYS[1], process)
    redis.call('HDEL', KEYS[2], process)
  end
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
for key = 1, 2 do redis.call('PEXPIRE', KEYS[key], string.format('%.0f', expiry / 1000)) end
return redis.call('ZCARD', KEYS[1])
