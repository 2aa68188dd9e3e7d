;; Returns a reason of 60,000 null bytes, which are valid UTF-8; the host keeps 512 bytes.
;; shell: retry
;; expect: verdict
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (data (i32.const 128) "\01" "\01\04")
  (data (i32.const 152) "\01\00\00\00" "\00\10\00\00" "\60\ea\00\00")
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (return (i32.const 128))))
    (i32.const 64)))
