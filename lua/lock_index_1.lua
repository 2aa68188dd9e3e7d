-- Notes that a lock of this name may be held, so that people can find it; names not noted for a day are forgotten.
--
-- KEYS  1 names of locks (sorted set by the second in which they were noted)
-- ARGV  1 the lock's name
-- Reply  1

local now = redis.call('TIME')[1]
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - 86400))
redis.call('EXPIRE', KEYS[1], 172800)
return 1
