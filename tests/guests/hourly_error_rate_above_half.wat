;; Fires if more than half of the calls of the last hour failed.
;; shell: alert
;; expect: verdict
(core module $guest
  (import "libc" "memory" (memory 1))
  (import "host" "window" (func $window (param $range-ms i64) (param $stats i32)))
  (func (export "evaluate") (param $snapshot i32) (result i32)
    (call $window (i64.const 3600000) (i32.const 1024))
    (i32.store8 (i32.const 64) (f64.gt (f64.load offset=40 (i32.const 1024)) (f64.const 0.5)))
    (i32.const 64)))
