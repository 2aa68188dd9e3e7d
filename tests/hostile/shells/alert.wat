;; A component of the world `alert` in contract 0.1.0. See retry.wat for how the core module is inserted.
;;
;; `evaluate` of the core module takes the address of a snapshot and returns the address of a verdict: byte 0 is 0 for
;; quiet and 1 for firing, byte 4 is 1 if a detail is present, with its address at byte 8 and its length at byte 12.
;; `host.window` takes a range in milliseconds and the address to which it writes the statistics; `error-rate` is at
;; byte 40.
(component
  (import "tidegate:policy/alert-types@0.1.0" (instance $types
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
    (export "stats" (type $stats (eq $stats-is)))
    (type $snapshot-is (record
      (field "platform" string)
      (field "endpoint" (option string))
      (field "stats" $stats)))
    (export "snapshot" (type $snapshot (eq $snapshot-is)))
    (type $verdict-is (variant (case "quiet") (case "firing" (option string))))
    (export "verdict" (type $verdict (eq $verdict-is)))))
  (alias export $types "stats" (type $stats))
  (alias export $types "snapshot" (type $snapshot))
  (alias export $types "verdict" (type $verdict))
  (import "tidegate:policy/metrics@0.1.0" (instance $metrics
    (alias outer 1 $stats (type $stats-here))
    (export "stats" (type $stats (eq $stats-here)))
    (export "window" (func (param "range-ms" u64) (result $stats)))))

  (core module $libc
    (memory (export "memory") 4)
    (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get $size)))))
  (core instance $libc (instantiate $libc))
  (core func $window (canon lower (func $metrics "window") (memory $libc "memory")))

  {guest}
  (core instance $guest (instantiate $guest
    (with "libc" (instance $libc))
    (with "host" (instance (export "window" (func $window))))))
  (func (export "evaluate") (param "snapshot" $snapshot) (result $verdict)
    (canon lift (core func $guest "evaluate")
      (memory $libc "memory") (realloc (func $libc "realloc")))))
