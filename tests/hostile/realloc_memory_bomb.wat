;; Grows its memory without end while it allocates a string. (Only the sub-code of an attack has 7 bytes.)
;; shell: retry_custom_realloc
;; expect: fault memory
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (global $next (mut i32) (i32.const 65536))
  (global $attempt (mut i32) (i32.const 1))
  (func (export "configure") (param i32 i32) (result i32) (i32.const 0))
  (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
    (if (i32.eq (local.get $size) (i32.const 7))
      (then
        (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
        (unreachable)))
    (global.get $next)
    (global.set $next (i32.and (i32.add (i32.add (global.get $next) (local.get $size)) (i32.const 7)) (i32.const -8))))
  (func (export "post_return") (param $verdict i32))
  (func (export "classify") (param $failure i32) (result i32)
    (global.set $attempt (i32.load offset=20 (local.get $failure)))
    (i32.const 64)))
