-- Notes that a process is there, and says how many are.
--
-- KEYS   1  processes: a sorted set by when each was last heard of, in µs
-- ARGV   1  this process
--        2  after how many µs without a word a process is gone
-- Reply  how many there are, this one included
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local patience = tonumber(ARGV[2])
redis.call("ZADD", KEYS[1], string.format("%.0f", now), ARGV[1])
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", string.format("(%.0f", now - patience))
-- Heard of in the future: the clock was set back.
redis.call("ZREMRANGEBYSCORE", KEYS[1], string.format("(%.0f", now + patience), "+inf")
redis.call("PEXPIRE", KEYS[1], string.format("%.0f", patience / 1000))
return redis.call("ZCARD", KEYS[1])
