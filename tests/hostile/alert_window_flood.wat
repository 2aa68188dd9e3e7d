;; Reads a window as long as the last hour had errors; the host must limit the number of reads.
;; shell: alert
;; expect: fault type
(core module $guest
  (import "libc" "memory" (memory 1))
  (import "host" "window" (func $window (param $range-ms i64) (param $stats i32)))
  (func (export "evaluate") (param $snapshot i32) (result i32)
    (loop $again
      (call $window (i64.const 3600000) (i32.const 1024))
      (br_if $again (f64.gt (f64.load offset=40 (i32.const 1024)) (f64.const 0.5))))
    (i32.const 64)))
