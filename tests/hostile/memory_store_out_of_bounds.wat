;; Writes to an address 1 MiB beyond 4 GiB, past every guard region.
;; shell: retry
;; expect: fault trap
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (i64.store offset=0xfffffff0 (i32.const 0x100000) (i64.const 1))))
    (i32.const 64)))
