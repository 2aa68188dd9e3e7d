;; A component of the world `admit` in contract 0.2.0. See retry_v0_2.wat for `configure` and the host functions.
;;
;; `admit` of the core module takes 11 numbers: address and length of the platform, of the endpoint and of the method,
;; the time, then address and count of the headers and of the labels. It returns the address of a verdict:
;;   byte 0      0 default, 1 allow, 2 deny
;;   allow       cost at byte 4, address and count of the labels of the scope at bytes 8 and 12 (four numbers a label)
;;   deny        address and length of the reason at bytes 4 and 8, the status at byte 12
(component
  (import "tidegate:policy/settings-types@0.2.0" (instance $settings
    (type $setting-is (variant (case "text" string) (case "number" f64) (case "flag" bool)))
    (export "setting" (type $setting (eq $setting-is)))))
  (alias export $settings "setting" (type $setting))
  (import "tidegate:policy/admit-types@0.2.0" (instance $types
    (type $request-is (record
      (field "platform" string)
      (field "endpoint" string)
      (field "method" string)
      (field "at-ms" u64)
      (field "headers" (list (tuple string string)))
      (field "labels" (list (tuple string string)))))
    (export "request" (type $request (eq $request-is)))
    (type $allowance-is (record (field "cost" u32) (field "scope" (list (tuple string string)))))
    (export "allowance" (type $allowance (eq $allowance-is)))
    (type $denial-is (record (field "reason" string) (field "status" u16)))
    (export "denial" (type $denial (eq $denial-is)))
    (type $verdict-is (variant (case "default") (case "allow" $allowance) (case "deny" $denial)))
    (export "verdict" (type $verdict (eq $verdict-is)))))
  (alias export $types "request" (type $request))
  (alias export $types "verdict" (type $verdict))
  (import "tidegate:policy/log@0.2.0" (instance $log
    (type $level-is (enum "debug" "info" "warn"))
    (export "level" (type $level (eq $level-is)))
    (export "log" (func (param "level" $level) (param "text" string)))))
  (import "tidegate:policy/figures@0.2.0" (instance $figures
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
  (import "tidegate:policy/metrics@0.2.0" (instance $metrics
    (alias outer 1 $stats (type $stats-here))
    (export "stats" (type $stats (eq $stats-here)))
    (export "window" (func (param "range-ms" u64) (result $stats)))))
  (import "tidegate:policy/limits@0.2.0" (instance $limits
    (type $state-is (record (field "available" s64) (field "burst" u64) (field "rate" f64) (field "full-in-ms" u64)))
    (export "state" (type $state (eq $state-is)))
    (export "limit" (func (param "name" string) (result (option $state))))))

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

  {guest}
  (core instance $guest (instantiate $guest
    (with "libc" (instance $libc))
    (with "host" (instance
      (export "log" (func $log))
      (export "window" (func $window))
      (export "limit" (func $limit))))))
  (func (export "configure") (param "settings" (list (tuple string $setting))) (result (result (error string)))
    (canon lift (core func $guest "configure")
      (memory $libc "memory") (realloc (func $libc "realloc"))))
  (func (export "admit") (param "request" $request) (result $verdict)
    (canon lift (core func $guest "admit")
      (memory $libc "memory") (realloc (func $libc "realloc")))))
