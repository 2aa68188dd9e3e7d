;; A table of 60,000 places to jump to.
;; shell: retry
;; expect: refused "unreachable"
(core module $guest
  (func (param i32)
    block
      local.get 0
      br_table <<60000 times 0 >>0
    end)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
