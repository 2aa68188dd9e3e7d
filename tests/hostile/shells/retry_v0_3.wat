;; A component of the world `retry-with-response` in contract 0.3.0. `configure`, `classify` and the host functions are
;; the same as in retry_v0_2.wat. `host.body` takes the address to which it writes the body: byte 0 is 1 if there is one,
;; with its address at byte 4 and its length at byte 8.
(component
  (import "tidegate:policy/settings-types@0.3.0" (instance $settings
    (type $setting-is (variant (case "text" string) (case "number" f64) (case "flag" bool)))
    (export "setting" (type $setting (eq $setting-is)))))
  (alias export $settings "setting" (type $setting))
  (import "tidegate:policy/retry-types@0.3.0" (instance $types
    (type $failure-kind-is (enum "timeout" "connection" "response"))
    (export "failure-kind" (type $failure-kind (eq $failure-kind-is)))
    (type $failure-is (record
      (field "platform" string)
      (field "endpoint" string)
      (field "kind" $failure-kind)
      (field "attempt" u32)
      (field "elapsed-ms" u64)
      (field "at-ms" u64)
      (field "status" (option u16))
      (field "code" (option string))
      (field "sub-code" (option string))
      (field "message" (option string))
      (field "headers" (list (tuple string string)))
      (field "retry-after-ms" (option u64))))
    (export "failure" (type $failure (eq $failure-is)))
    (type $class-is (enum "throttled" "quota" "transient" "auth" "permanent"))
    (export "class" (type $class (eq $class-is)))
    (type $action-is (enum "retry" "give-up" "default"))
    (export "action" (type $action (eq $action-is)))
    (type $verdict-is (record
      (field "action" $action)
      (field "class" (option $class))
      (field "after-ms" (option u64))
      (field "reason" (option string))))
    (export "verdict" (type $verdict (eq $verdict-is)))))
  (alias export $types "failure" (type $failure))
  (alias export $types "verdict" (type $verdict))
  (import "tidegate:policy/log@0.3.0" (instance $log
    (type $level-is (enum "debug" "info" "warn"))
    (export "level" (type $level (eq $level-is)))
    (export "log" (func (param "level" $level) (param "text" string)))))
  (import "tidegate:policy/figures@0.3.0" (instance $figures
    (type $stats-is (record
      (field "count" u64)
      (field "success" u64)
      (field "errors" u64)
      (field "limited" u64)
      (field "total-ms" f64)
      (field "error-rate" f64)
      (field "success-rate" f64)
      (field "limited-rate" f64)
      (field "rps" f64)
      (field "p50" f64)
      (field "p95" f64)
      (field "p99" f64)
      (field "from-ms" u64)
      (field "to-ms" u64)))
    (export "stats" (type $stats (eq $stats-is)))))
  (alias export $figures "stats" (type $stats))
  (import "tidegate:policy/metrics@0.3.0" (instance $metrics
    (alias outer 1 $stats (type $stats-here))
    (export "stats" (type $stats (eq $stats-here)))
    (export "window" (func (param "range-ms" u64) (result $stats)))))
  (import "tidegate:policy/limits@0.3.0" (instance $limits
    (type $state-is (record (field "available" s64) (field "burst" u64) (field "rate" f64) (field "full-in-ms" u64)))
    (export "state" (type $state (eq $state-is)))
    (export "limit" (func (param "name" string) (result (option $state))))))

  (import "tidegate:policy/response@0.3.0" (instance $response
    (export "body" (func (result (option string))))))

  (core module $libc
    (memory (export "memory") 4)
    (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get $size)))))
  (core instance $libc (instantiate $libc))
  (core func $log (canon lower (func $log "log") (memory $libc "memory")))
  (core func $window (canon lower (func $metrics "window") (memory $libc "memory")))
  (core func $limit (canon lower (func $limits "limit") (memory $libc "memory")))
  (core func $body (canon lower (func $response "body") (memory $libc "memory") (realloc (func $libc "realloc"))))

  {guest}
  (core instance $guest (instantiate $guest
    (with "libc" (instance $libc))
    (with "host" (instance
      (export "log" (func $log))
      (export "window" (func $window))
      (export "limit" (func $limit))
      (export "body" (func $body))))))
  (func (export "configure") (param "settings" (list (tuple string $setting))) (result (result (error string)))
    (canon lift (core func $guest "configure")
      (memory $libc "memory") (realloc (func $libc "realloc"))))
  (func (export "classify") (param "failure" $failure) (result $verdict)
    (canon lift (core func $guest "classify")
      (memory $libc "memory") (realloc (func $libc "realloc")))))
