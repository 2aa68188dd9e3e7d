;; Logs bytes that are not UTF-8.
;; shell: retry_v0_2
;; expect: fault type
(core module $guest
  (import "host" "log" (func $log (param i32 i32 i32)))
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (data (i32.const 512) "\ff\fe")
  (func (export "configure") (param i32 i32) (result i32) (i32.const 0))
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (call $log (i32.const 0) (i32.const 512) (i32.const 2))))
    (i32.const 64)))
