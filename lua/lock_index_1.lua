-- Adds a lock's name to the index from which locks are listed. Removes names that were last added more than a day ago.
--
-- KEYS  1 the index: names of locks (sorted set, scored by the second in which they were added last)
-- ARGV  1 the lock's name
-- Reply  1

local now = redis.call('TIME')[1]
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - 86400))
redis.call('EXPIRE', KEYS[1], 172800)
return 1
