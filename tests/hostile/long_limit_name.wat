;; Reads a limit with a name of 60,000 bytes, which does not exist.
;; shell: retry_v0_2
;; expect: verdict
(core module $guest
  (import "host" "limit" (func $limit (param i32 i32 i32)))
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func (export "configure") (param i32 i32) (result i32) (i32.const 0))
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (call $limit (i32.const 1024) (i32.const 60000) (i32.const 128))))
    (i32.const 64)))
