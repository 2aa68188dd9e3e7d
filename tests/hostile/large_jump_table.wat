;; Contains a jump table with 60,000 targets, which is harmless; its first call traps.
;; shell: retry
;; expect: rejected "unreachable"
(core module $guest
  (func (param i32)
    block
      local.get 0
      br_table <<60000 times 0 >>0
    end)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
