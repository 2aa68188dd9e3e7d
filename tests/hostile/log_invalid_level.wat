;; Logs at level 99, which does not exist.
;; shell: retry_v0_2
;; expect: fault type
(core module $guest
  (import "host" "log" (func $log (param i32 i32 i32)))
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func (export "configure") (param i32 i32) (result i32) (i32.const 0))
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (call $log (i32.const 99) (i32.const 1024) (i32.const 1))))
    (i32.const 64)))
